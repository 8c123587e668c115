import pytest

from reidlab import recipes
from reidlab.models import list_models


@pytest.mark.parametrize("paper", recipes.names())
def test_each_paper_has_three_profiles_of_its_model(paper):
    assert paper in list_models()
    for profile in ("smoke", "laptop", "paper"):
        recipe = recipes.get(paper, profile)
        assert (recipe.model, recipe.profile) == (paper, profile)


def test_the_paper_recipe_is_transreids():
    recipe = recipes.get("vit_baseline", "paper")
    assert (recipe.image_size, recipe.stride, recipe.drop_path) == ((256, 128), 16, 0.1)
    assert (recipe.batch_size, recipe.epochs, recipe.lr) == (64, 120, 0.008)
    assert (recipe.pad, recipe.erasing, recipe.label_smoothing) == (10, 0.5, 0.0)


def test_unknown_names():
    with pytest.raises(ValueError, match=r"no recipe for 'vit'; there are: vit_baseline"):
        recipes.get("vit", "laptop")
    with pytest.raises(ValueError, match=r"no profile 'huge'; it has: smoke, laptop, paper"):
        recipes.get("vit_baseline", "huge")
