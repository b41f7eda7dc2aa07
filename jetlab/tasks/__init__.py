"""What physicists do with the models: one file a task, no plots."""
