"""The fixture as an ASGI application, as somebody hands it to portside who never had a server object."""

from alone import app as app_of

app = app_of("fixture_v2")
