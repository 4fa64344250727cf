#!/bin/sh
# metallb-frr.yaml copies this file into its reloader sidecar. FerroLB needs no FRR and writes no configuration for it:
# there is nothing to reload, so the sidecar idles until the pod ends.
echo "FerroLB speaks for itself: this reloader has nothing to do and idles"
trap 'exit 0' TERM INT
while :; do sleep 3600 & wait $!; done
