meshproof repro docs/examples/waypoints/ingress-corrected --expect 403 \
  --curl 'curl http://someapp.example.com/health'
