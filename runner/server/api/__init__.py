"""The HTTP side: who asks, what is asked, and the handlers of every route."""
