"""From the equations of a loop to its source text: order, buffers, expressions."""
