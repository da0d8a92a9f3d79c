"""Text and figures about a compiled scan: equations, source, memory."""
