<?php
// The parts of CodeIgniter 4 that the adapter uses, for machines that cannot have it. CODEIGNITER4 names the real one.

namespace CodeIgniter\Config {
    class BaseConfig
    {
    }

    class BaseService
    {
        private static $shared = [];

        protected static function getSharedInstance(string $name)
        {
            return self::$shared[$name] ??= static::$name(false);
        }
    }
}

namespace CodeIgniter\HTTP {
    interface RequestInterface
    {
    }

    interface ResponseInterface
    {
    }

    class IncomingRequest implements RequestInterface
    {
        public function getIPAddress(): string
        {
            return $_SERVER['REMOTE_ADDR'];
        }
    }

    class Response implements ResponseInterface
    {
        public $body = '';

        public function setHeader(string $name, $value): self
        {
            header("$name: $value");
            return $this;
        }

        public function setStatusCode(int $code): self
        {
            http_response_code($code);
            return $this;
        }

        public function setBody($data): self
        {
            $this->body = $data;
            return $this;
        }

        public function to(string $url, int $code): self
        {
            return $this->setStatusCode($code)->setHeader('Location', $url);
        }
    }
}

namespace CodeIgniter\Filters {
    interface FilterInterface
    {
        public function before(\CodeIgniter\HTTP\RequestInterface $request, $arguments = null);

        public function after(\CodeIgniter\HTTP\RequestInterface $request, \CodeIgniter\HTTP\ResponseInterface $response, $arguments = null);
    }
}

namespace CodeIgniter {
    class Controller
    {
        protected $request;

        public function __construct()
        {
            $this->request = service('request');
        }
    }
}

namespace Test {
    class Session
    {
        public function __construct()
        {
            ini_set('session.use_strict_mode', '1');
            session_name('ci_session');
            session_save_path(getenv('SESSIONS'));
            session_start();
        }

        public function regenerate(bool $destroy = false): void
        {
            session_regenerate_id($destroy);
        }
    }
}

namespace {
    const WRITEPATH = '';

    function service(string $name)
    {
        static $made = [];
        if ($name === 'sso') {
            return Sso\CodeIgniter4\Config\Services::sso();
        }
        $classes = ['session' => Test\Session::class, 'request' => CodeIgniter\HTTP\IncomingRequest::class, 'response' => CodeIgniter\HTTP\Response::class];
        return $made[$name] ??= new $classes[$name]();
    }

    function config(string $name)
    {
        return new Config\Sso();
    }

    function redirect()
    {
        return service('response');
    }

    class Routes
    {
        public $found;

        public function match(array $methods, string $path, string $handler, array $options = []): void
        {
            $here = trim(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/');
            if ($here === trim($path, '/') && in_array($_SERVER['REQUEST_METHOD'], $methods, true)) {
                $this->found = [$handler, $options['filter'] ?? ''];
            }
        }

        public function get(string $path, string $handler, array $options = []): void
        {
            $this->match(['GET'], $path, $handler, $options);
        }
    }

    require getenv('SSO_PACKAGE') . '/src/autoload.php';
    require __DIR__ . '/app/Config/Sso.php';
    require __DIR__ . '/app/Controllers/Home.php';
    $routes = new Routes();
    require __DIR__ . '/app/Config/Routes.php';
    require getenv('SSO_PACKAGE') . '/src/CodeIgniter4/Config/Routes.php';
    if ($routes->found === null) {
        http_response_code(404);
        exit;
    }
    [$handler, $filter] = $routes->found;
    $result = null;
    if ($filter !== '') {
        [$name, $arguments] = explode(':', $filter) + [1 => null];
        $class = Sso\CodeIgniter4\Config\Registrar::Filters()['aliases'][$name];
        $result = (new $class())->before(service('request'), $arguments === null ? null : explode(',', $arguments));
    }
    if ($result === null) {
        [$class, $method] = explode('::', $handler[0] === '\\' ? $handler : "App\\Controllers\\$handler");
        $result = (new $class())->$method();
    }
    echo is_string($result) ? $result : $result->body;
}
