"""Pictures and scores as they come, for as many as look.

hub       what all viewers get, made once; nothing while nobody looks
viewer    one of them: who is slow gets the newest
encode    frames as JPEG, heat as PNG, in threads of their own
mjpeg     the same for who takes no WebSocket
"""
