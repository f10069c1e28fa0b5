"""Independent float64 references, written from the equations; they never import gradspike."""
