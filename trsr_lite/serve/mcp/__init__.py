"""`trsr-lite serve --mcp`: the recommender as tools of an assistant, by the Model Context Protocol.

Invariant: tools go through the queue of `serve.service` like every other request; an assistant that cancels a call
cancels its job. What is remembered stands in one file that the person named, and nowhere else.
"""
