export { INGRESS_URL, installIstio, waitForGateway } from "./install.ts";
export { istioManifests, type ManifestOptions } from "./manifests.ts";
export { jwksFetcherOf, setMesh } from "./mesh-setting.ts";
export { envoyVersionOf, versionsOf } from "./versions.ts";
