/**
 * What stands for istioctl in images that tests make: where Istio is built here there is no istioctl, and `manifest generate` and
 * `version` are all that is asked of it.
 * @param manifests absolute path of the program that prints the same manifests
 */
export function istioctlStandIn(version: string, manifests: string): Buffer {
  return Buffer.from(`#!/bin/sh
if [ "$1" = version ]; then echo '{"clientVersion":{"version":"${version}"}}'; exit; fi
shift 2
exec '${manifests}' "$@"
`);
}
