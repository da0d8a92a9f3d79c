"""Running the stages of a compiled scan: before, during and after the loop."""
