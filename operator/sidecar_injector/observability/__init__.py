"""What the operator says about itself: metrics, logs, and the tuning of the garbage collector."""
