"""The certificate: closed forms compared with autodiff and central differences."""
