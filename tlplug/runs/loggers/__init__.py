"""`logger=`: csv, tensorboard, mlflow, wandb, several at once or none; closed when the run ends, however it ends."""
