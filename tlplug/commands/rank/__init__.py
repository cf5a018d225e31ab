"""`rank`: which base model suits a task, before any is fine-tuned."""
