"""Importing the library and building models without weights of others opens no connection."""

import subprocess
import sys

CODE = """
import socket

def refuse(*arguments, **options):
    raise AssertionError(f"a socket was opened: {arguments}")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = refuse
socket.getaddrinfo = socket.gethostbyname = refuse
try:
    import urllib.request
    urllib.request.urlopen("http://example.org")
except AssertionError:
    print("guarded")

import reidlab, reidlab.training, reidlab.recipes, reidlab.explain, reidlab.report, reidlab.cli
from reidlab.models import create_backbone, create_model

create_model("vit_baseline", num_classes=2, weights=None, depth=1)
create_model("vit_baseline", num_classes=2, weights="synth", depth=1)
create_model("la_transformer", num_classes=2, weights="synth", depth=1, preset="paper")
for name in ("vit_base_patch16_224.orig_in21k_ft_in1k", "vit_tiny_patch16_dinov3_qkvb"):
    create_backbone(name, (64, 32), depth=1)
create_backbone("resnet50.tv_in1k", (64, 32), depth=1)
"""


def test_no_socket(tmp_path):
    environment = {"HF_HUB_CACHE": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["guarded"]  # and the guard works
