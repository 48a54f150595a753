"""Other people's networks that judge pictures and sound. Their weights come from the user, see `shelf`.

Each is a function of the arrays of its published file, under that file's own names, so that nothing has to be mapped.
"""
