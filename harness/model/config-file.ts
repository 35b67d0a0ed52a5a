/**
 * The format of meshproof.config.yaml: what `meshproof run` would otherwise be told by flags, which win over it. Errors, types and
 * `schema/config.schema.json` for editors come from here. Paths begin at the folder of the file.
 */

import * as z from "zod";
import { namespaceMap } from "./scenario-file.ts";
import { text, toJsonSchema, type Immutable } from "./schema.ts";

export const configFile = z
  .strictObject({
    scenarios: text("The folder of the scenarios.").optional(),
    namespaces: namespaceMap
      .describe(
        "The namespaces of the repository's policies, with what each is in scenarios. A scenario's own come first.",
      )
      .optional(),
    cluster: z.enum(["embedded", "kind", "existing"]).describe("Where scenarios run.").optional(),
    istio: text("Istio's version, such as 1.30, for a cluster that meshproof makes.").optional(),
    envoy: text("Envoy's version, such as 1.36, where it does not come with Istio's images.").optional(),
    kubeconfig: text("existing: the file that has the context.").optional(),
    context: text("existing: the context.").optional(),
    revision: text("existing: istiod's revision, where the mesh has several.").optional(),
    profile: text("What the mesh's product promises: istio, asm, or asm@VERSION.").optional(),
    lanes: z
      .int()
      .min(1)
      .max(16)
      .meta({ title: "a number from 1 to 16", description: "How many scenarios run side by side." })
      .optional(),
    knownFailures: text("A file of known failures.").optional(),
    results: text("The folder of reports, a folder for each run.").optional(),
  })
  .describe("Settings of meshproof for a repository.");

export type Config = Immutable<z.infer<typeof configFile>>;

/** Prints the content of `schema/config.schema.json`. */
export function printConfigSchema(): string {
  const { $schema, ...rest } = toJsonSchema(configFile, "draft-7");
  const title = "meshproof config";
  return `${JSON.stringify({ $schema, $id: "https://meshproof.dev/config.schema.json", title, ...rest }, null, 2)}\n`;
}
