// An injector in today's usual way, on controller-runtime: decode the pod, append to it, and let the
// library compute the patch from the pod before and after.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"sidecar-injector.dev/benchmarks/comparators/template"
)

const statusAnnotation = "sidecar-injector-webhook.morven.me/status"

type injector struct{ decoder admission.Decoder }

// Handle implements admission.Handler.
func (i injector) Handle(ctx context.Context, request admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := i.decoder.Decode(request, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if pod.Annotations[statusAnnotation] == "injected" {
		return admission.Allowed("injected already")
	}
	pod.Spec.Containers = append(pod.Spec.Containers, template.Containers()...)
	pod.Spec.Volumes = append(pod.Spec.Volumes, template.Volumes()...)
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[statusAnnotation] = "injected"

	encoded, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	ctrllog.FromContext(ctx).Info("injected", "pod", pod.GenerateName)
	return admission.PatchResponseFromRaw(request.Object.Raw, encoded)
}

// Arguments: port, certificate, key; both files are in one folder.
func main() {
	ctrl.SetLogger(zap.New())
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		log.Fatal(err)
	}
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := webhook.NewServer(webhook.Options{
		Host:     "127.0.0.1",
		Port:     port,
		CertDir:  filepath.Dir(os.Args[2]),
		CertName: filepath.Base(os.Args[2]),
		KeyName:  filepath.Base(os.Args[3]),
	})
	server.Register("/mutate", &admission.Webhook{Handler: injector{admission.NewDecoder(scheme)}})
	log.Fatal(server.Start(ctrl.SetupSignalHandler()))
}
