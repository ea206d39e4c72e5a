"""A reproducible study of synthetic chest X-rays for classifiers trained on few films."""
