"""The database as the service meets it: how connections are made, what the server can do, and what its clock says."""
