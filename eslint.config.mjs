import { defineConfig, globalIgnores } from "eslint/config";
import { importX } from "eslint-plugin-import-x";
import tseslint from "typescript-eslint";

/** Code below `target` must not import from `from`, except these paths relative to it. */
function forbid(target, from, except, message) {
  return { target, from, except, message };
}

const harness = "The harness knows a cluster only by clusters/cluster.ts, and neither reports nor the command line.";
const reports =
  "Reports read the result types (result.ts, scenario/types.ts, compare/comparison.ts, trend/types.ts, repro/types.ts, stream) and nothing else.";
const clusters = "A cluster may use the harness's errors, progress and Kubernetes client, and nothing above it.";
const pure = "Scenarios, tokens, verdicts, the oracle and comparisons know no Kubernetes.";

/** cli -> reports, clusters, harness; nothing imports the other way (see CONTRIBUTING.md). */
const zones = [
  forbid("./harness", "./clusters", ["cluster.ts"], harness),
  forbid("./harness", "./reports", [], harness),
  forbid("./harness", "./cli", [], harness),
  forbid(
    "./reports",
    "./harness",
    [
      "result.ts",
      "scenario/types.ts",
      "errors.ts",
      "compare/comparison.ts",
      "trend/types.ts",
      "repro/types.ts",
      "stream",
    ],
    reports,
  ),
  forbid("./reports", "./clusters", ["cluster.ts"], reports),
  forbid("./reports", "./cli", [], reports),
  forbid("./clusters", "./harness", ["errors.ts", "progress.ts", "kube"], clusters),
  forbid("./clusters", "./reports", [], clusters),
  forbid("./clusters", "./cli", [], clusters),
  ...["scenario", "tokens", "verdict", "oracle", "compare"].flatMap((part) =>
    ["kube", "probe", "run"].map((other) => forbid(`./harness/${part}`, `./harness/${other}`, [], pure)),
  ),
];

export default defineConfig(
  globalIgnores(["results/", "test-results/", "playwright-report/"]),
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommended],
    plugins: { "import-x": importX },
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          allowForKnownSafeCalls: [
            { from: "package", package: "node:test", name: ["test", "it", "describe", "suite"] },
          ],
        },
      ],
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/no-unnecessary-type-assertion": "error",
      "@typescript-eslint/only-throw-error": "error",
      "@typescript-eslint/prefer-promise-reject-errors": "error",
      "@typescript-eslint/return-await": ["error", "error-handling-correctness-only"],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_", destructuredArrayIgnorePattern: "^_" },
      ],
      "import-x/no-restricted-paths": ["error", { zones }],
      "no-console": "error",
      eqeqeq: "error",
    },
  },
  // The command line speaks to its user by console, a workload to its container's log.
  { files: ["cli/**", "scenarios/workloads/**"], rules: { "no-console": "off" } },
  {
    files: ["harness/{scenario,tokens,verdict,oracle,compare}/**"],
    rules: { "no-restricted-imports": ["error", { paths: [{ name: "@kubernetes/client-node", message: pure }] }] },
  },
  // An end-to-end test needs a cluster, wherever it stands.
  { files: ["**/*.e2e.ts"], rules: { "import-x/no-restricted-paths": "off" } },
);
