"""Images: readers of real data sets, the embedded synthetic set, the image store, augmentation."""
