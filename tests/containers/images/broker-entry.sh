#!/bin/sh
# As the official one: root gives the folder to the broker's user, to whom mosquitto drops by itself.
set -e
[ "$(id -u)" != 0 ] || chown -R mosquitto: /mosquitto || true
exec "$@"
