"""The parts of `resnet-classify`: its images, and its results on the screen and in files."""
