"""Files of PyTorch, safetensors and npz, with a description of the layers; live torch modules."""
