"""`trsr-lite serve`: the recommender for programs in any language, as JSON-RPC 2.0 over stdin and stdout.

Invariant: a message is one line, and every request is answered exactly once. One request is worked on at a time, by
priority. Whatever a client sends, or fails to read, costs bounded memory. The protocol is docs/reference/protocol.md,
and `protocol.schema.json` beside this file.
"""
