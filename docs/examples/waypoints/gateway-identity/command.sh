meshproof repro docs/examples/waypoints/gateway-identity --expect 200 \
  --curl 'curl http://orders.example.com/'
