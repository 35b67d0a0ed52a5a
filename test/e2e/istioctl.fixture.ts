/**
 * Takes the place of istioctl in images that tests make, because a build of Istio contains no istioctl. It has only `manifest
 * generate` and `version`.
 * @param manifests absolute path of the program that prints the same manifests
 */
export function istioctlStandIn(version: string, manifests: string): Buffer {
  return Buffer.from(`#!/bin/sh
if [ "$1" = version ]; then echo '{"clientVersion":{"version":"${version}"}}'; exit; fi
shift 2
exec '${manifests}' "$@"
`);
}
