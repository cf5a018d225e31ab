"""Log a run with `logger=`: csv, tensorboard, mlflow, wandb, several of them or none."""
