"""Who may ask, and how much: what stands before all of the HTTP side.

auth      what a site asks for         a token, or this machine alone
tokens, sessions, login                tokens as hashes, browsers that have sent one, its form
limits    how often                    requests, and wrong tokens
door      who asks, and whether he may
guard     the application behind it    every request and WebSocket comes by here
headers, trail, hidden                 of every answer; who changed what; without secrets
"""
