"""Online reads over HTTP: what costs microseconds, so it is written by hand, in front of an ordinary app.

`asked` reads requests, `rounds` reads a store that is far away for many of them at once, `written` and `formats` write
answers, `cache` keeps some for a while, `patience` lets slow clients go, `online` is the routes themselves.
"""
