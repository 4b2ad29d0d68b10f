"""Pods and workloads as JSON: reading their fields, and which types and names are valid.

The package describes a pod five times, each time for another question:

- `pods.shapes`: which types do the fields have that we read? For pods from files.
- The schema of the CRDs (`crds`): what may an injection's template contain?
- `validity`: what would the API server refuse because of an injection?
- `validity.pod_security`: what would the enforced Pod Security level refuse because of it?
- `pods.api_fields`: what does the API server make of a value, so that two parts count as equal?
"""
