"""Runs an exported step without Keras.

Each class loads a file and runs it on a dictionary of its inputs, which are in the step's order. A file may lack an
input that isn't used, such as a QRNN's h.
"""


class Onnx:
    def __init__(self, path):
        import onnxruntime

        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.inputs = [tensor.name for tensor in self.session.get_inputs()]

    def __call__(self, inputs):
        return self.session.run(None, {name: inputs[name] for name in self.inputs})


class SavedModel:
    def __init__(self, path):
        import tensorflow as tf

        self.loaded = tf.saved_model.load(path)
        self.inputs = sorted(self.loaded.signatures["serving_default"].structured_input_signature[1])

    def __call__(self, inputs):
        return [part.numpy() for part in self.loaded.serve([*inputs.values()])]


class LiteRT:
    def __init__(self, path):
        import tensorflow as tf

        self.run = tf.lite.Interpreter(model_path=path).get_signature_runner()
        self.inputs = sorted(self.run.get_input_details())

    def __call__(self, inputs):
        outputs = self.run(**{name: inputs[name] for name in self.inputs})
        return [outputs[f"output_{index}"] for index in range(len(inputs))]


class Torch:
    def __init__(self, path):
        import torch

        self.run = torch.export.load(path).module()
        self.tensor = torch.from_numpy
        self.inputs = None

    def __call__(self, inputs):
        return [part.detach().numpy() for part in self.run([self.tensor(part) for part in inputs.values()])]


class OpenVINO:
    def __init__(self, path):
        import openvino

        # By default OpenVINO computes in bfloat16 if the processor can.
        self.run = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self.inputs = None

    def __call__(self, inputs):
        results = self.run([*inputs.values()])
        # For TensorFlow's graph, OpenVINO adds outputs for sizes after the others.
        return [results[output] for output in self.run.outputs[: len(inputs)]]


ENDINGS = {"tf_saved_model": "", "onnx": ".onnx", "openvino": ".xml", "litert": ".tflite", "torch": ".pt2"}
RUNTIMES = {"tf_saved_model": SavedModel, "onnx": Onnx, "openvino": OpenVINO, "litert": LiteRT, "torch": Torch}
