// Istio's manifests as `istioctl manifest generate --set …` prints them, without the rest of istioctl.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"

	"istio.io/istio/operator/pkg/manifest"
	"istio.io/istio/operator/pkg/render"
	"sigs.k8s.io/yaml"
)

func main() {
	var settings []string
	flag.Func("set", "a setting of the charts, as path=value; may be repeated", func(setting string) error {
		settings = append(settings, setting)
		return nil
	})
	flag.Parse()
	if err := generate(settings); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// generate prints the objects that the settings make of Istio's charts.
func generate(settings []string) error {
	sets, _, err := render.GenerateManifest(nil, settings, false, nil, nil)
	if err != nil {
		return err
	}
	var all []manifest.Manifest
	for _, set := range sets {
		all = append(all, set.Manifests...)
	}
	slices.SortStableFunc(all, func(a, b manifest.Manifest) int {
		x, y := a.GroupVersionKind(), b.GroupVersionKind()
		return cmp.Or(
			cmp.Compare(order(x.Group, x.Kind), order(y.Group, y.Kind)),
			cmp.Compare(x.Group, y.Group),
			cmp.Compare(x.Kind, y.Kind),
			cmp.Compare(a.GetName(), b.GetName()),
		)
	})
	for _, m := range all {
		text, err := yaml.Marshal(m.Object)
		if err != nil {
			return err
		}
		if _, err := fmt.Printf("%s\n---\n", text); err != nil {
			return err
		}
	}
	return nil
}

// order is istioctl's (operator/cmd/mesh, objectKindOrdering): what others need comes first.
func order(group, kind string) int {
	switch group + "/" + kind {
	case "apiextensions.k8s.io/CustomResourceDefinition":
		return -1000
	case "/ServiceAccount", "rbac.authorization.k8s.io/ClusterRole":
		return 1
	case "rbac.authorization.k8s.io/ClusterRoleBinding":
		return 2
	case "admissionregistration.k8s.io/ValidatingWebhookConfiguration":
		return 3
	case "/ConfigMap", "/Secrets":
		return 100
	case "autoscaling/HorizontalPodAutoscaler":
		return 1001
	case "/Service":
		return 10000
	default:
		return 1000
	}
}
