"""Built-in data to train and test on."""
