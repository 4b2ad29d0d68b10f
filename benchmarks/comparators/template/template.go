// Package template is what both injectors add: the sidecar of the README's example.
package template

import corev1 "k8s.io/api/core/v1"

// Containers returns the sidecar.
func Containers() []corev1.Container {
	return []corev1.Container{{
		Name:         "sidecar-nginx",
		Image:        "nginx:1.12.2",
		Ports:        []corev1.ContainerPort{{ContainerPort: 80}},
		VolumeMounts: []corev1.VolumeMount{{Name: "nginx-conf", MountPath: "/etc/nginx"}},
	}}
}

// Volumes returns what the sidecar mounts.
func Volumes() []corev1.Volume {
	return []corev1.Volume{{
		Name: "nginx-conf",
		VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "nginx-configmap"},
		}},
	}}
}
