"""Models: backbones, the classifiers on top of them, checkpoints and pretrained networks."""
