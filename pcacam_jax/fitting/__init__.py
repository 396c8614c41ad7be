"""From a dataset to a fitted run: configuration, cached features, training, estimators and scores."""
