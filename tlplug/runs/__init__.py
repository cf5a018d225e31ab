"""Train runs and use finished ones: predict, evaluate, measure, export."""
