// Measured on a page by check_browser.py.

// First lines of the code that a reader does not see whole.
function cut() {
  const boxes = [...document.querySelectorAll("div.highlight pre")];
  return boxes
    .filter((box) => box.scrollWidth > box.clientWidth + 1)
    .map((box) => box.innerText.trim().split("\n")[0]);
}

// Letters with less contrast than WCAG AA asks: 4.5:1, 3:1 where they are large.
function pale() {
  const numbers = (text) => [...text.match(/[\d.]+/g).map(Number), 1].slice(0, 4);
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const linear = (v) => (v <= 10.3 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) =>
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement)
      layers.unshift(numbers(getComputedStyle(e).backgroundColor));
    return layers.reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const found = new Map(); // one of each pair of colours
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim();
    const element = texts.currentNode.parentElement;
    const style = getComputedStyle(element);
    if (!text || style.visibility == "hidden" || !element.getClientRects().length) continue;
    const under = ground(element);
    const pair = [light(over(numbers(style.color), under)), light(under)];
    const ratio = Math.max(...pair) / Math.min(...pair);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.6 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5))
      found.set(style.color + under, `${ratio.toFixed(1)}:1: ${text.slice(0, 40)}`);
  }
  return [...found.values()];
}
