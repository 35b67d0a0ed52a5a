meshproof repro docs/examples/waypoints/ingress --expect 403 \
  --curl 'curl http://someapp.example.com/health'
