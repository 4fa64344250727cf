//! Whether resources mean what a ConfigMap means: both sides are compiled to one model, and the models are compared.
