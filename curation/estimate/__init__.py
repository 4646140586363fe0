"""What a run will bring, take and cost, measured on a sample and the hardware that will run it."""
