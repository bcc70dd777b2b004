"""What people, devices and commands do, a module for each noun and a function for each act.

A function takes what it works with (a connection in a transaction of its caller's, or an engine where it has more than
one transaction or talks to others before it begins one), who is asking, and values; it returns rows. What it does not
do it refuses with a class of `api.refusals`. Nothing here knows of HTTP.
"""
