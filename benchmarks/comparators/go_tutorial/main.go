// An injector in the way of the tutorial from which this family of injectors comes: net/http, the
// types of k8s.io/api, and a patch of hand-made add operations.
package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"sidecar-injector.dev/benchmarks/comparators/template"
)

const statusAnnotation = "sidecar-injector-webhook.morven.me/status"

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	if err := admissionv1.AddToScheme(scheme); err != nil {
		log.Fatal(err)
	}
	return serializer.NewCodecFactory(scheme).UniversalDeserializer()
}()

// additions are the operations that append items to a list, which may not be there yet.
func additions[T any](path string, present int, items []T) []operation {
	if present == 0 {
		return []operation{{"add", path, items}}
	}
	var made []operation
	for _, item := range items {
		made = append(made, operation{"add", path + "/-", item})
	}
	return made
}

func patch(pod *corev1.Pod) ([]byte, error) {
	operations := additions("/spec/containers", len(pod.Spec.Containers), template.Containers())
	operations = append(operations, additions("/spec/volumes", len(pod.Spec.Volumes), template.Volumes())...)
	if pod.Annotations == nil {
		annotations := map[string]string{statusAnnotation: "injected"}
		operations = append(operations, operation{"add", "/metadata/annotations", annotations})
	} else {
		path := "/metadata/annotations/sidecar-injector-webhook.morven.me~1status"
		operations = append(operations, operation{"add", path, "injected"})
	}
	return json.Marshal(operations)
}

func respond(request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	var pod corev1.Pod
	if err := json.Unmarshal(request.Object.Raw, &pod); err != nil {
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: err.Error()}}
	}
	if pod.Annotations[statusAnnotation] == "injected" {
		return &admissionv1.AdmissionResponse{Allowed: true}
	}
	patched, err := patch(&pod)
	if err != nil {
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: err.Error()}}
	}
	log.Printf("namespace=%s pod=%s uid=%s injected", request.Namespace, pod.GenerateName, request.UID)
	kind := admissionv1.PatchTypeJSONPatch
	return &admissionv1.AdmissionResponse{Allowed: true, Patch: patched, PatchType: &kind}
}

func serve(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil || len(body) == 0 {
		http.Error(writer, "empty body", http.StatusBadRequest)
		return
	}
	var review admissionv1.AdmissionReview
	if _, _, err := decoder.Decode(body, nil, &review); err != nil || review.Request == nil {
		http.Error(writer, fmt.Sprintf("no review: %v", err), http.StatusBadRequest)
		return
	}
	answer := admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: respond(review.Request)}
	answer.Response.UID = review.Request.UID
	encoded, err := json.Marshal(answer)
	if err != nil {
		http.Error(writer, err.Error(), http.StatusInternalServerError)
		return
	}
	writer.Header().Set("Content-Type", "application/json")
	_, _ = writer.Write(encoded)
}

// Arguments: port, certificate, key.
func main() {
	pair, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/mutate", serve)
	server := &http.Server{
		Addr:      "127.0.0.1:" + os.Args[1],
		Handler:   mux,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
	}
	log.Fatal(server.ListenAndServeTLS("", ""))
}
