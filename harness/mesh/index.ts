export { gatewayApiCrds, gatewayApiVersion, hasGatewayClass, hasWaypointClass } from "./gateway-api.ts";
export { INGRESS_URL } from "../model/target.ts";
export { applyIstio, installIstio, waitForGateway, waitForIstio } from "./install.ts";
export { istioManifests, withAuthority, type ManifestOptions } from "./manifests.ts";
export { jwksFetcherOf, setMesh } from "./mesh-setting.ts";
export { envoyVersionOf, gatewayEnvoys, istiodVersions, versionsOf } from "./versions.ts";
export type { UpgradeStrategy } from "./upgrade.ts";
export { canBeWaypoints, gatewayApiOf } from "./waypoints.ts";
