import { PROVIDERS } from "../mesh/extension-providers.ts";
import { istiodEnvironment } from "../mesh/istiod-environment.ts";
import { type MeshSetting, ROOT_NAMESPACE } from "../model/cluster.ts";

/** What a mesh setting is for istiod. */
export interface IstiodSetting {
  readonly mesh: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string>>;
}

/** The config of meshproof's own meshes, as far as it decides about requests. */
export function istiodSettingOf(setting: MeshSetting): IstiodSetting {
  const {
    pathNormalization = "BASE",
    trustDomainAliases = [],
    multipleExtAuthz = false,
    gatewaySelectors = true,
    // It fetches none.
    blockedJwksCidrs: _blockedJwksCidrs,
    // Its providers are always in the config.
    extAuthz: _extAuthz,
    // By this setting the keys are known or not (keys.ts).
    jwksFetch: _jwksFetch,
    // It fetches none.
    jwksRefresh: _jwksRefresh,
    ...others
  } = setting;
  // A new setting must be handled here: without it, answers would be wrong.
  others satisfies Record<string, never>;
  const mesh = {
    rootNamespace: ROOT_NAMESPACE,
    trustDomain: "cluster.local",
    extensionProviders: PROVIDERS,
    ...(pathNormalization !== "BASE" && { pathNormalization: { normalization: pathNormalization } }),
    ...(trustDomainAliases.length > 0 && { trustDomainAliases }),
  };
  return { mesh, environment: istiodEnvironment({ multipleExtAuthz, gatewaySelectors }) };
}
