"""
The live stream: a shared log of what happens, a cursor per listener, and one write for whatever is pending.

Read in this order: `ring` (the log), `subscription` (what a listener wants), `session` (where one listener stands, and
the hand-over from history to live), `broadcast` (who is told when). The ways in are `websocket` and `server_sent`
beside this room.
"""
