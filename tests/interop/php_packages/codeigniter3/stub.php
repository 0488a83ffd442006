<?php
// The parts of CodeIgniter 3 that the adapter uses, for machines that cannot have it. CODEIGNITER3 names the real one.
define('BASEPATH', __DIR__);
define('APPPATH', __DIR__ . '/application/');
define('FCPATH', __DIR__ . '/');

class Test_session
{
    public function __construct()
    {
        ini_set('session.use_strict_mode', '1');
        session_name('ci_session');
        session_save_path(getenv('SESSIONS'));
        session_start();
    }

    public function sess_regenerate($destroy = FALSE)
    {
        session_regenerate_id($destroy);
    }
}

class Test_input
{
    public function ip_address()
    {
        return $_SERVER['REMOTE_ADDR'];
    }
}

class Test_loader
{
    public function library($name)
    {
        $CI = get_instance();
        if ($name === 'session') {
            $CI->session = isset($CI->session) ? $CI->session : new Test_session();
        } elseif (!isset($CI->$name)) {
            $config = array();
            require APPPATH . "config/$name.php";
            $class = ucfirst($name);
            require_once APPPATH . "libraries/$class.php";
            $CI->$name = new $class($config);
        }
    }
}

#[AllowDynamicProperties]
class CI_Controller
{
    public static $instance;

    public function __construct()
    {
        self::$instance = $this;
        $this->load = new Test_loader();
        $this->input = new Test_input();
        $this->router = (object) array('directory' => '', 'class' => get_class($this));
    }
}

function get_instance()
{
    return CI_Controller::$instance;
}

$route = $hook = array();
require APPPATH . 'config/routes.php';
require APPPATH . 'config/hooks.php';
$path = trim(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/');
$target = $path === '' ? $route['default_controller'] : (isset($route[$path]) ? $route[$path] : $path);
list($class, $method) = explode('/', $target) + array(1 => 'index');
if (!is_file($file = APPPATH . 'controllers/' . ucfirst($class) . '.php')) {
    http_response_code(404);
    exit;
}
require $file;
$controller = new $class();
foreach ($hook['post_controller_constructor'] as $one) {
    require APPPATH . $one['filepath'] . '/' . $one['filename'];
    (new $one['class']())->{$one['function']}();
}
$controller->$method();
