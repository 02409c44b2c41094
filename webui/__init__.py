"""The web demo: a Gradio app and its REST routes."""
