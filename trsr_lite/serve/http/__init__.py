"""`trsr-lite serve --http`: the recommender for programs that speak HTTP, rerankers' own clients among them.

Invariant: every request goes through the one queue of `serve.service`; a client that goes away cancels its request.
Nothing but this machine is served unless a token is set, and no page of another site is served at all.
"""
